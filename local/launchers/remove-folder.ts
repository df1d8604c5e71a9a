/** Removing a folder that programs have written to. */
import { execFile } from 'node:child_process';
import { rmdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a program that is being killed still writes comes between. */
const TRIES = 20;
const PAUSE_MS = 100;

/**
 * Removes a folder with all that is in it: also what was made read-only, and folders in folders beyond the length of any
 * path, of which Node's own `rm` makes nothing. One that is not there is no error.
 */
export async function removeFolder(folder: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    if (await isGone(folder)) return;
    await run('chmod', ['-R', 'u+rwX', folder]).catch(() => {});
    try {
      await run('rm', ['-rf', folder]);
      return;
    } catch (error) {
      if (tries === TRIES) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

/** Mostly it is empty: a sandbox that ends by itself leaves nothing. */
async function isGone(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
