/** Writes what an execution has come to where the command line says. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Execution } from '../functions/execution/execution.ts';
import type { Client } from '../web/src/api/client.ts';

/** Where parts of the result are written; undefined: nowhere. */
export interface Destinations {
  code: string | undefined;
  notebook: string | undefined;
  /** a folder */
  files: string | undefined;
}

/** A sentence of what could not be written, and why. */
export class CannotWrite extends Error {
  override readonly name = 'CannotWrite';
}

/** Gives a sentence for each thing that there was not. @throws CannotWrite, ApiError, Unreachable */
export async function saveResults(
  client: Client,
  { execution_id, final_result }: Execution,
  { code: codeFile, notebook, files: folder }: Destinations,
): Promise<string[]> {
  const missing: string[] = [];
  const code = final_result?.code;
  if (codeFile && code) await write('code', codeFile, code.endsWith('\n') ? code : `${code}\n`);
  else if (codeFile) missing.push(`No code was written, so ${codeFile} was not either.`);
  if (notebook) await write('notebook', notebook, await bytesOf(client.notebook(execution_id)));
  if (folder) {
    const { attempt = 0, artifacts = [] } = final_result ?? {};
    if (artifacts.length === 0) missing.push(`The program left no files, so ${folder} got none.`);
    for (const { name } of artifacts) {
      const file = path.resolve(folder, name);
      // The service promises so, but this is no place to take its word for it.
      if (!file.startsWith(path.resolve(folder) + path.sep)) {
        throw new CannotWrite(`The file ${JSON.stringify(name)} would lie outside ${folder}.`);
      }
      await write('files', file, await bytesOf(client.artifact(execution_id, attempt, name)));
    }
  }
  return missing;
}

const bytesOf = async (file: Promise<Blob>) => Buffer.from(await (await file).arrayBuffer());

async function write(what: 'code' | 'notebook' | 'files', file: string, content: string | Buffer) {
  try {
    if (what === 'files') await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  } catch (error) {
    throw new CannotWrite(`The ${what} cannot be written: ${(error as Error).message}`);
  }
}
