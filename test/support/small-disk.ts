/** A file system of a few megabytes, for tests that fill it. Only root may mount one. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const canMount =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  mounts(mkdtempSync(path.join(tmpdir(), 'mount-')));

export interface SmallDisk {
  folder: string;
  /** Takes all the room that is left. */
  fill(): void;
  /** Gives it back. */
  free(): void;
  remove(): void;
}

export function mountSmallDisk(megabytes: number): SmallDisk {
  const folder = mkdtempSync(path.join(tmpdir(), 'small-disk-'));
  mount(folder, megabytes);
  const filler = path.join(folder, 'filler');
  return {
    folder,
    fill() {
      try {
        writeFileSync(filler, Buffer.alloc(megabytes * 1024 * 1024));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    },
    free: () => rmSync(filler),
    remove: () => void spawnSync('umount', ['--lazy', folder]),
  };
}

function mount(folder: string, megabytes: number): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]).status === 0;
}

/** Not every root may: containers often take that right away. */
function mounts(folder: string): boolean {
  const mounted = mount(folder, 1);
  if (mounted) spawnSync('umount', [folder]);
  return mounted;
}
