/** What an execution has come to, as it is taken along: the program of its last attempt, its output and its files. */
import { artifactKey, jobId } from '../sandbox/mailbox.ts';
import { Problem } from '../service/errors.ts';
import { getFile } from '../service/files.ts';
import { type Artifact, isFinal } from './execution.ts';
import { type AttemptRecord, type ExecutionRecord, listAttempts } from './records.ts';
import { readText } from './texts.ts';

/** The file that an artifact is. */
export interface ResultFile extends Artifact {
  key: string;
}

/** An execution's end, with the whole texts. */
export interface Ending {
  execution: ExecutionRecord;
  /** null if no attempt brought a program. */
  code: string | null;
  /** null if the program was not run. */
  output: string | null;
  error: string | null;
  traceback: string | null;
  files: ResultFile[];
}

/** @throws Problem 409 if it has not ended yet. */
export async function readEnding(execution: ExecutionRecord): Promise<Ending> {
  if (!isFinal(execution.status)) {
    throw new Problem(
      409,
      'not-ended',
      'Not ended',
      'The execution is still under way. Ask again when it has ended.',
    );
  }
  const last = (await listAttempts(execution.execution_id)).at(-1);
  const [code, output] = await Promise.all([
    readText(last?.code ?? null),
    last?.run_started_at ? readText(last.output) : null,
  ]);
  return {
    execution,
    code,
    output,
    error: execution.error,
    traceback: last?.traceback ?? null,
    files: last ? filesOf(last) : [],
  };
}

/** The files of an attempt, which may have been taken over from another execution. */
export function filesOf({ sandbox_id, taken_from, artifacts, ...attempt }: AttemptRecord): ResultFile[] {
  if (!sandbox_id) return [];
  const job = jobId({ ...attempt, execution_id: taken_from ?? attempt.execution_id });
  return artifacts.map((file) => ({ ...file, key: artifactKey(sandbox_id, job, file.name) }));
}

/** The bytes of a file in pieces, as they come from S3. */
export async function openFile(key: string): Promise<AsyncIterable<Uint8Array>> {
  const { Body } = await getFile(key);
  return Body as unknown as AsyncIterable<Uint8Array>;
}
