/**
 * The parts of Monaco that the page uses, served by us like everything else. Loaded on demand: only the modules in
 * this folder import it, and those are imported by `lazy` alone.
 */
import * as monaco from 'monaco-editor/editor/editor.api';
import 'monaco-editor/features/bracketMatching/register';
import 'monaco-editor/features/clipboard/register';
import 'monaco-editor/features/codeEditor/register';
import 'monaco-editor/features/codicon/register';
import 'monaco-editor/features/cursorUndo/register';
import 'monaco-editor/features/diffEditor/register';
import 'monaco-editor/features/find/register';
import 'monaco-editor/features/folding/register';
import 'monaco-editor/features/indentation/register';
import 'monaco-editor/features/unicodeHighlighter/register';
import 'monaco-editor/features/wordOperations/register';
import 'monaco-editor/languages/definitions/python/register';
import EditorWorker from 'monaco-editor/editor/editor.worker?worker';
import type { Theme } from '../hooks/use-theme.ts';

self.MonacoEnvironment = { getWorker: () => new EditorWorker() };

/** The colours of styles.css: Monaco takes no custom properties. */
const COLORS: Record<
  Theme,
  { base: 'vs' | 'vs-dark'; delimiter: string; tokens: [string, string][]; editor: Record<string, string> }
> = {
  light: {
    base: 'vs',
    delimiter: '47555a',
    tokens: [
      ['', '182124'],
      ['comment', '5b6b70'],
      ['keyword', '8a2a7b'],
      ['string', '1d6b3c'],
      ['string.escape', '1d6b3c'],
      ['number', '9a4a00'],
      ['tag', '0f6673'],
    ],
    editor: {
      'editor.background': '#f9fafa',
      'editor.foreground': '#182124',
      'editorLineNumber.foreground': '#66757a',
      'editorLineNumber.activeForeground': '#182124',
      'editorGutter.background': '#f9fafa',
      'diffEditor.insertedLineBackground': '#18703f14',
      'diffEditor.insertedTextBackground': '#18703f2b',
      'diffEditor.removedLineBackground': '#b3261e12',
      'diffEditor.removedTextBackground': '#b3261e2b',
    },
  },
  dark: {
    base: 'vs-dark',
    delimiter: 'b4c0c4',
    tokens: [
      ['', 'e5ebec'],
      ['comment', '8d9ca2'],
      ['keyword', 'd9a3e0'],
      ['string', '8fd3a5'],
      ['string.escape', '8fd3a5'],
      ['number', 'f0b67f'],
      ['tag', '62c7d4'],
    ],
    editor: {
      'editor.background': '#14191c',
      'editor.foreground': '#e5ebec',
      'editorLineNumber.foreground': '#84939a',
      'editorLineNumber.activeForeground': '#e5ebec',
      'editorGutter.background': '#14191c',
      'diffEditor.insertedLineBackground': '#62cd9314',
      'diffEditor.insertedTextBackground': '#62cd932e',
      'diffEditor.removedLineBackground': '#ff9a9114',
      'diffEditor.removedTextBackground': '#ff9a912e',
    },
  },
};

/** Brackets in the colour of other delimiters: half-written code has many that are not closed yet. */
function bracketColors(color: string): Record<string, string> {
  const names = ['foreground1', 'foreground2', 'foreground3', 'unexpectedBracket.foreground'];
  return Object.fromEntries(names.map((name) => [`editorBracketHighlight.${name}`, color]));
}

for (const [name, { base, delimiter, tokens, editor }] of Object.entries(COLORS)) {
  monaco.editor.defineTheme(name, {
    base,
    inherit: true,
    rules: [['delimiter', delimiter] as const, ...tokens].map(([token, foreground]) => ({
      token,
      foreground,
    })),
    colors: { ...editor, ...bracketColors(`#${delimiter}`) },
  });
}

/** What every editor of the page has in common. */
export const OPTIONS = {
  automaticLayout: true,
  contextmenu: false,
  fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  fontSize: 13,
  lineHeight: 20,
  links: false,
  hideCursorInOverviewRuler: true,
  minimap: { enabled: false },
  overviewRulerBorder: false,
  overviewRulerLanes: 0,
  padding: { top: 8, bottom: 16 },
  // Shows what would otherwise hide in code that nobody we know wrote.
  renderControlCharacters: true,
  unicodeHighlight: { ambiguousCharacters: true, invisibleCharacters: true },
  scrollBeyondLastLine: false,
  // The horizontal bar lies over the padding: where it changes the height, line numbers and lines part.
  scrollbar: {
    alwaysConsumeMouseWheel: false,
    horizontalScrollbarSize: 10,
    ignoreHorizontalScrollbarInContentHeight: true,
    verticalScrollbarSize: 10,
  },
  stickyScroll: { enabled: false },
  // Tab moves on to the next control, as everywhere on the page.
  tabFocusMode: true,
} satisfies monaco.editor.IEditorOptions;

/** Brings a model to a text. True if adding at its end was enough: then what is shown of it stays where it is. */
export function updateText(model: monaco.editor.ITextModel, text: string): boolean {
  const before = model.getValue();
  const grows = before !== '' && text.startsWith(before);
  if (!grows) {
    model.setValue(text);
  } else if (text !== before) {
    const end = model.getFullModelRange().getEndPosition();
    model.applyEdits([{ range: monaco.Range.fromPositions(end), text: text.slice(before.length) }]);
  }
  return grows;
}

export { monaco };
