import { type Ref, useEffect, useEffectEvent, useImperativeHandle, useRef } from 'react';
import { useTheme } from '../hooks/use-theme.ts';
import { monaco, OPTIONS, updateText } from './monaco.ts';

interface CodeEditorProps {
  label: string;
  code: string;
  /** What went wrong where; marked and brought into view. */
  failure?: { line: number; message: string } | null;
  /** Without it the code can only be read. */
  onChange?: (code: string) => void;
  /** For a label, which leads by itself to the browser's own controls only. */
  ref?: Ref<{ focus(): void }>;
}

/** Characters of an error beside its line; all of it is told elsewhere. */
const MAX_NOTE = 160;

/** Monaco with Python. While code grows at its end, the end stays in view unless the reader has scrolled away. */
export default function CodeEditor({ label, code, failure = null, onChange, ref }: CodeEditorProps) {
  const container = useRef<HTMLDivElement>(null);
  const editor = useRef<monaco.editor.IStandaloneCodeEditor>(null);
  /** Whether this code has grown here before: at first its end may be far below what is shown. */
  const hasGrown = useRef(false);
  const { theme } = useTheme();
  const readOnly = !onChange;
  const changed = useEffectEvent((value: string) => onChange?.(value));
  useImperativeHandle(ref, () => ({ focus: () => editor.current?.focus() }), []);

  useEffect(() => {
    if (!container.current) return;
    const created = monaco.editor.create(container.current, {
      ...OPTIONS,
      language: 'python',
      lineNumbersMinChars: 3,
      renderLineHighlight: 'none',
    });
    created.onDidChangeModelContent(() => changed(created.getValue()));
    editor.current = created;
    return () => {
      editor.current = null;
      created.getModel()?.dispose();
      created.dispose();
    };
  }, []);

  useEffect(
    () =>
      editor.current?.updateOptions({
        ariaLabel: label,
        readOnly,
        domReadOnly: readOnly,
        glyphMargin: readOnly,
      }),
    [label, readOnly],
  );

  useEffect(() => monaco.editor.setTheme(theme), [theme]);

  useEffect(() => {
    // While someone types here, the editor is ahead of its property.
    if (editor.current && !(onChange && editor.current.hasTextFocus())) show(editor.current, code, hasGrown);
  }, [code, onChange]);

  // With another code the marks are gone.
  useEffect(() => {
    if (!editor.current || !failure) return;
    const marks = editor.current.createDecorationsCollection(markOf(failure));
    editor.current.revealLineInCenterIfOutsideViewport(failure.line);
    return () => marks.clear();
  }, [failure, code]);

  return <div ref={container} className="h-full" />;
}

function show(
  editor: monaco.editor.IStandaloneCodeEditor,
  code: string,
  hasGrown: { current: boolean },
): void {
  const model = editor.getModel();
  if (!model || model.getValue() === code) return;
  const atEnd =
    editor.getScrollTop() + editor.getLayoutInfo().height >= editor.getScrollHeight() - OPTIONS.lineHeight;
  const grows = updateText(model, code);
  if (grows && (atEnd || !hasGrown.current)) editor.setScrollTop(editor.getScrollHeight());
  hasGrown.current = grows;
}

function markOf({ line, message }: { line: number; message: string }) {
  const note = message.length > MAX_NOTE ? `${message.slice(0, MAX_NOTE)}…` : message;
  return [
    {
      range: new monaco.Range(line, 1, line, Number.MAX_SAFE_INTEGER),
      options: {
        isWholeLine: true,
        className: 'failing-line',
        glyphMarginClassName: 'failing-glyph',
        after: { content: `   ${note.replaceAll(/\s+/g, ' ')}`, inlineClassName: 'failing-note' },
        showIfCollapsed: true,
      },
    },
  ];
}
