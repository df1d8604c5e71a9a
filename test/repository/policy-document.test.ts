/** docs/policy.md lists the rules as rules.json has them; `npx vitest run test/repository -u` writes the list anew. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { policySchema } from '../../functions/execution/execution.ts';
import rules from '../../sandbox-image/policy/rules.json' with { type: 'json' };

const file = path.join(import.meta.dirname, '../../docs/policy.md');
const profiles = policySchema.options;

interface Entry {
  rule: string;
  profiles: string[];
  names: string[];
}

const entries: Entry[] = [
  ...rules.names,
  ...rules.attributes.map((entry) => ({ ...entry, names: entry.names.map((name) => `.${name}`) })),
  ...Object.entries(rules.structure).map(([rule, entry]) => ({ rule, ...entry, names: [] })),
];

/** What a rule refuses in a profile; what is below another name is left out. */
function refused(rule: string, profile: string): string {
  const found = entries.filter((entry) => entry.rule === rule && entry.profiles.includes(profile));
  if (found.length === 0) return '–';
  const names = new Set(
    found.flatMap((entry) => entry.names.map((name) => name.replace(/^builtins\.(?=.)/, ''))),
  );
  const outermost = [...names].filter((name) => ![...names].some((other) => name.startsWith(`${other}.`)));
  return outermost.length > 0 ? outermost.map((name) => `\`${name}\``).join(', ') : 'refused';
}

function table(): string {
  const rows = [...new Set(entries.map(({ rule }) => rule))].map((rule) => [
    rule,
    ...profiles.map((profile) => refused(rule, profile)),
  ]);
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [['rule', ...profiles], ['---', ...profiles.map(() => '---')], ...rows].map(line).join('\n');
}

test('docs/policy.md has the rules as they are', async () => {
  const document = await readFile(file, 'utf8');
  const [before, , after] = document.split(/(?<=<!-- rules -->\n)|(?=<!-- \/rules -->)/);
  await expect(`${before}\n${table()}\n\n${after}`).toMatchFileSnapshot(file);
});
