import { useEffect, useRef } from 'react';
import { useTheme } from '../hooks/use-theme.ts';
import { monaco, OPTIONS } from './monaco.ts';

interface CodeDiffProps {
  label: string;
  before: string;
  after: string;
}

/** Two versions of the code side by side, or, where there is little room, one below the other. */
export default function CodeDiff({ label, before, after }: CodeDiffProps) {
  const container = useRef<HTMLDivElement>(null);
  const { theme } = useTheme();

  useEffect(() => {
    if (!container.current) return;
    const original = monaco.editor.createModel(before, 'python');
    const modified = monaco.editor.createModel(after, 'python');
    const editor = monaco.editor.createDiffEditor(container.current, {
      ...OPTIONS,
      readOnly: true,
      domReadOnly: true,
      renderOverviewRuler: false,
      renderMarginRevertIcon: false,
      renderSideBySideInlineBreakpoint: 640,
      useInlineViewWhenSpaceIsLimited: true,
    });
    editor.setModel({ original, modified });
    keepLabel(editor.getOriginalEditor(), `${label}, before`);
    keepLabel(editor.getModifiedEditor(), `${label}, after`);
    return () => {
      editor.dispose();
      original.dispose();
      modified.dispose();
    };
  }, [label, before, after]);

  useEffect(() => monaco.editor.setTheme(theme), [theme]);

  return <div ref={container} className="h-full" />;
}

/** The diff editor sets its editors' labels anew, to nothing, whenever another option changes. */
function keepLabel(editor: monaco.editor.ICodeEditor, ariaLabel: string): void {
  const set = () => {
    if (editor.getOption(monaco.editor.EditorOption.ariaLabel) !== ariaLabel)
      editor.updateOptions({ ariaLabel });
  };
  editor.onDidChangeConfiguration(set);
  set();
}
