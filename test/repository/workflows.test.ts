/** The workflows of GitHub Actions: they run nothing that its maker could change, and have no right that they do not need. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const FOLDER = '.github/workflows';
const files = readdirSync(FOLDER).map((name) => ({ name, text: readFileSync(`${FOLDER}/${name}`, 'utf8') }));

describe.each(files)('$name', ({ text }) => {
  it('names actions by the commit, with the version beside it', () => {
    const uses = text.match(/^ +(- )?uses: .*$/gm) ?? [];
    const own = /uses: \.\/\.github\/workflows\/[\w-]+\.yml$/;
    const pinned = /uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;
    expect(uses.filter((line) => !own.test(line) && !pinned.test(line))).toEqual([]);
  });

  it('says its rights, and has no secret', () => {
    expect(text).toMatch(/^permissions:( \{\})?$/m);
    expect(text).not.toMatch(/write-all|secrets\./);
  });

  it('puts nothing of an event into a script', () => {
    const scripts = text.match(/^ +(- )?run: .*$/gm) ?? [];
    expect(scripts.filter((line) => line.includes('${{'))).toEqual([]);
  });
});
