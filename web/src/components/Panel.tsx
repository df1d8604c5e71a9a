import type { CSSProperties, ReactNode } from 'react';

interface PanelProps {
  title: string;
  /** Beside the title. */
  note?: ReactNode;
  tools?: ReactNode;
  className?: string;
  /** Lines of text in it: on a narrow page it is as high as they need, up to a limit. */
  lines?: number;
  children: ReactNode;
}

/** A titled part of the page with its tools. */
export const Panel = ({ title, note, tools, className = '', lines, children }: PanelProps) => (
  <section
    aria-label={title}
    style={{ '--lines': lines } as CSSProperties}
    className={`flex min-w-0 flex-col overflow-hidden rounded-lg border border-line bg-panel ${lines === undefined ? '' : 'fit-lines'} ${className}`}
  >
    <div className="flex min-h-10 flex-wrap items-center gap-x-2 border-line border-b px-3 py-1">
      <h2 className="font-semibold">{title}</h2>
      {note && <span className="min-w-0 truncate text-muted text-xs">{note}</span>}
      {tools !== undefined && (
        // Where there is little room they have a line of their own from the start: what comes to them pushes nothing down.
        <div className="ml-auto flex flex-wrap items-center gap-1 text-xs max-sm:min-h-8 max-sm:w-full max-sm:justify-end">
          {tools}
        </div>
      )}
    </div>
    {children}
  </section>
);

/** What a panel shows while it has nothing to show. */
export const Nothing = ({ children }: { children: ReactNode }) => (
  <p className="flex flex-1 items-center justify-center p-6 text-center text-muted">{children}</p>
);
