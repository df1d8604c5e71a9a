/**
 * An execution as a ZIP file: the task, the program, its tests, its output and its files. Nothing holds it whole: entries
 * are stored as they are, so that its length is known beforehand and it goes to S3 in one stream.
 */
import { Readable } from 'node:stream';
import { makeZip, predictLength } from 'client-zip';
import { putFile } from '../service/files.ts';
import { type Ending, openFile } from './result-files.ts';

interface Entry {
  name: string;
  size: number;
  read(): Promise<AsyncIterable<Uint8Array>>;
}

/** Writes the archive to `key`. */
export async function writeArchive(ending: Ending, key: string): Promise<void> {
  const entries = entriesOf(ending);
  const lastModified = new Date(ending.execution.finished_at ?? ending.execution.created_at);
  const files = entries.map(({ name, size }) => ({ name, size, lastModified }));
  async function* inputs() {
    // One file after the other: a stream of S3 that waits for its turn would be closed.
    for (const { name, size, read } of entries) yield { name, size, lastModified, input: await read() };
  }
  const zip = Readable.from(makeZip(inputs()) as unknown as AsyncIterable<Uint8Array>);
  await putFile(key, zip, 'application/zip', Number(predictLength(files)));
}

function entriesOf({ execution, code, output, error, files }: Ending): Entry[] {
  const facts = [
    `status: ${execution.status}`,
    `model: ${execution.model}`,
    `attempts: ${execution.attempts} of ${execution.max_retries}`,
    `started: ${execution.created_at}`,
    `ended: ${execution.finished_at}`,
    ...(error ? [`error: ${error}`] : []),
  ];
  return [
    text('task.md', `${execution.prompt.trim()}\n\n---\n\n${facts.join('\n')}\n`),
    ...(code === null ? [] : [text('program.py', code.endsWith('\n') ? code : `${code}\n`)]),
    ...(execution.tests === null ? [] : [text('tests.py', execution.tests)]),
    ...(output === null ? [] : [text('output.txt', output)]),
    ...files.map(({ name, size, key }) => ({ name: `files/${name}`, size, read: () => openFile(key) })),
  ];
}

function text(name: string, content: string): Entry {
  const bytes = Buffer.from(content, 'utf8');
  async function* read() {
    yield bytes;
  }
  return { name, size: bytes.length, read: async () => read() };
}
