/** A file system of a few megabytes, for tests that fill it. Only root may mount one. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
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
  /** Makes empty files until there can be only `left` more. */
  fillWithFiles(left: number): void;
  /** Gives it back. */
  free(): void;
  remove(): void;
}

/** `files`: how many there can be on it. default: any number */
export function mountSmallDisk(megabytes: number, files?: number): SmallDisk {
  const folder = mkdtempSync(path.join(tmpdir(), 'small-disk-'));
  mount(folder, megabytes, files);
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
    fillWithFiles(left) {
      mkdirSync(filler);
      const { ffree } = statfsSync(folder);
      for (let file = 0; file < ffree - left; file++) writeFileSync(path.join(filler, String(file)), '');
    },
    free: () => rmSync(filler, { recursive: true }),
    remove: () => void spawnSync('umount', ['--lazy', folder]),
  };
}

function mount(folder: string, megabytes: number, files?: number): boolean {
  const options = `size=${megabytes}m${files === undefined ? '' : `,nr_inodes=${files}`}`;
  return spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]).status === 0;
}

/** Not every root may: containers often take that right away. */
function mounts(folder: string): boolean {
  const mounted = mount(folder, 1);
  if (mounted) spawnSync('umount', [folder]);
  return mounted;
}
