/** What cannot be read is not deleted and not in the way: it is kept beside its place under another name. */
import fs from 'node:fs';

/** Renames a file or folder. Gives where it is now. */
export function setAside(file: string): string {
  const now = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const kept = `${file}.set-aside-${now}`;
  fs.renameSync(file, kept);
  return kept;
}
