/**
 * An execution as a Jupyter notebook (nbformat 4.5): the task as Markdown, the program as a cell, and in it what came of
 * it: output, error and pictures. https://nbformat.readthedocs.io/en/latest/format_description.html
 */
import { putFile } from '../service/files.ts';
import { type Ending, openFile, type ResultFile } from './result-files.ts';

/** The media types that Jupyter shows in a cell, by content type. */
const PICTURES = ['image/png', 'image/jpeg', 'image/gif', 'image/svg+xml'];

const isPicture = ({ content_type }: ResultFile) => PICTURES.includes(content_type);

interface Output {
  output_type: 'stream' | 'display_data' | 'error';
  [field: string]: unknown;
}

type Cell =
  | { cell_type: 'markdown'; id: string; metadata: object; source: string[] }
  | {
      cell_type: 'code';
      id: string;
      metadata: object;
      source: string[];
      execution_count: number | null;
      outputs: Output[];
    };

/** Writes the notebook to `key`. */
export async function writeNotebook(ending: Ending, key: string): Promise<void> {
  const pictures = new Map<string, Buffer>();
  for (const { name, key } of ending.files.filter(isPicture)) pictures.set(name, await readWhole(key));
  await putFile(key, JSON.stringify(notebookOf(ending, pictures)), 'application/x-ipynb+json');
}

async function readWhole(key: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of await openFile(key)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** `pictures`: the bytes of those files that a cell can show, by name. */
export function notebookOf(ending: Ending, pictures: ReadonlyMap<string, Buffer>): object {
  const { execution, code } = ending;
  const cells: Cell[] = [markdown('task', execution.prompt.trim())];
  if (code !== null) {
    cells.push({
      cell_type: 'code',
      id: 'program',
      metadata: {},
      source: lines(code.trimEnd()),
      execution_count: ending.output === null ? null : 1,
      outputs: outputsOf(ending, pictures),
    });
  } else if (ending.error) cells.push(markdown('error', `**No program:** ${ending.error}`));
  const others = ending.files.filter(({ name }) => !pictures.has(name)).map(({ name }) => `- \`${name}\``);
  if (others.length > 0)
    cells.push(markdown('files', `Files that the program left:\n\n${others.join('\n')}`));
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { display_name: 'Python 3', language: 'python', name: 'python3' },
      language_info: { name: 'python' },
      title: execution.prompt.trim().split('\n')[0]?.slice(0, 100).toWellFormed() ?? '',
    },
    cells,
  };
}

function outputsOf(
  { output, error, traceback, files, execution }: Ending,
  pictures: ReadonlyMap<string, Buffer>,
): Output[] {
  const outputs: Output[] = [];
  if (output) outputs.push({ output_type: 'stream', name: 'stdout', text: lines(output) });
  for (const { name, content_type } of files) {
    const picture = pictures.get(name);
    if (!picture) continue;
    const isText = content_type === 'image/svg+xml';
    const data = isText ? lines(picture.toString('utf8')) : picture.toString('base64');
    outputs.push({
      output_type: 'display_data',
      data: { [content_type]: data, 'text/plain': [name.toWellFormed()] },
      metadata: {},
    });
  }
  if (execution.status === 'failed' && error) {
    const [, ename = 'Error', evalue = error] = /^(\w+(?:\.\w+)*): (.*)$/s.exec(error) ?? [];
    outputs.push({
      output_type: 'error',
      ename,
      evalue: evalue.toWellFormed(),
      traceback: (traceback ?? error).toWellFormed().split('\n'),
    });
  }
  return outputs;
}

const markdown = (id: string, text: string): Cell => ({
  cell_type: 'markdown',
  id,
  metadata: {},
  source: lines(text),
});

/** As notebooks have texts: lines that keep their ends. Half characters, which no UTF-8 has, are replaced. */
const lines = (text: string) => text.toWellFormed().match(/[^\n]*\n|[^\n]+$/g) ?? [];
