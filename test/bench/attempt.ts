/** A sandboxed attempt, from the job in the mailbox to the result in it, against starting Python. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { StopTaskCommand } from '@aws-sdk/client-ecs';
import { putJob, resultKey, uploadSize } from '../../functions/sandbox/mailbox.ts';
import { planSandbox } from '../../functions/sandbox/sandboxes.ts';
import { startSandboxTask } from '../../functions/sandbox/warm-pool.ts';
import { ecs } from '../../functions/service/aws.ts';
import { config } from '../../functions/service/config.ts';
import { findPython } from '../../local/python.ts';
import { medians, ms, ratio, report, timed } from './measure.ts';

const ROUNDS = 15;
const PROGRAMS = [
  { name: 'print(1)', code: 'print(1)', limit: 0.7 },
  { name: 'import pandas', code: 'import pandas\nprint(pandas.__name__)', limit: 0.1 },
];

export async function benchAttempt(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-'));
  const command = await findPython();
  const sandbox = await startSandbox();
  try {
    for (const [index, { name, code, limit }] of PROGRAMS.entries()) {
      const script = path.join(folder, 'script.py');
      writeFileSync(script, code);
      const python = () => promisify(execFile)(command, [script]);
      const promise = `a sandboxed attempt at ${name} costs at most ${limit} × of python3 script.py`;
      try {
        await python();
      } catch {
        report(promise, 'it is not installed here', null);
        continue;
      }
      let job = 0;
      const { sandboxed, bare } = await medians(ROUNDS, {
        sandboxed: () => sandbox.run(`bench-${index}-${job++}`, code),
        bare: python,
      });
      report(
        promise,
        `${ratio(sandboxed, bare)} (${ms(sandboxed)} against ${ms(bare)})`,
        sandboxed <= limit * bare,
      );
    }
  } finally {
    await sandbox.stop();
    rmSync(folder, { recursive: true });
  }
}

async function startSandbox() {
  const planned = await planSandbox('bench');
  const { sandbox_id } = planned;
  let taskArn: string | undefined;
  const started = await timed(async () => {
    taskArn = await startSandboxTask(planned);
    await uploaded(`mailbox/${sandbox_id}/ready.json`);
  });
  process.stdout.write(`${' '.repeat(13)}a sandbox is ready ${ms(started)} after RunTask\n`);
  return {
    async run(jobId: string, code: string) {
      await putJob(sandbox_id, { job_id: jobId, code, tests: null, timeout: 30, policy: 'strict' });
      await uploaded(resultKey(sandbox_id, jobId));
    },
    stop: () => ecs.send(new StopTaskCommand({ cluster: config.sandboxCluster, task: taskArn })),
  };
}

async function uploaded(key: string): Promise<void> {
  while ((await uploadSize(key)) === null) await sleep(1);
}
