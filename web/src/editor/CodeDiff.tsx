import { useEffect, useRef } from 'react';
import { useTheme } from '../hooks/use-theme.ts';
import { monaco, OPTIONS, updateText } from './monaco.ts';

interface CodeDiffProps {
  label: string;
  before: string;
  after: string;
}

/** Two versions of the code side by side, or, where there is little room, one below the other. */
export default function CodeDiff({ label, before, after }: CodeDiffProps) {
  const container = useRef<HTMLDivElement>(null);
  const editor = useRef<monaco.editor.IStandaloneDiffEditor>(null);
  const { theme } = useTheme();

  useEffect(() => {
    if (!container.current) return;
    const original = monaco.editor.createModel('', 'python');
    const modified = monaco.editor.createModel('', 'python');
    const created = monaco.editor.createDiffEditor(container.current, {
      ...OPTIONS,
      readOnly: true,
      domReadOnly: true,
      renderOverviewRuler: false,
      renderMarginRevertIcon: false,
      renderSideBySideInlineBreakpoint: 640,
      useInlineViewWhenSpaceIsLimited: true,
    });
    created.setModel({ original, modified });
    editor.current = created;
    return () => {
      editor.current = null;
      created.dispose();
      original.dispose();
      modified.dispose();
    };
  }, []);

  useEffect(() => {
    if (!editor.current) return;
    const kept = [
      keepLabel(editor.current.getOriginalEditor(), `${label}, before`),
      keepLabel(editor.current.getModifiedEditor(), `${label}, after`),
    ];
    return () => {
      for (const one of kept) one.dispose();
    };
  }, [label]);

  useEffect(() => {
    const models = editor.current?.getModel();
    if (!models) return;
    updateText(models.original, before);
    updateText(models.modified, after);
  }, [before, after]);

  useEffect(() => monaco.editor.setTheme(theme), [theme]);

  return <div ref={container} className="h-full" />;
}

/** The diff editor sets its editors' labels anew, to nothing, whenever another option changes. */
function keepLabel(editor: monaco.editor.ICodeEditor, ariaLabel: string): monaco.IDisposable {
  const set = () => {
    if (editor.getOption(monaco.editor.EditorOption.ariaLabel) !== ariaLabel)
      editor.updateOptions({ ariaLabel });
  };
  set();
  return editor.onDidChangeConfiguration(set);
}
