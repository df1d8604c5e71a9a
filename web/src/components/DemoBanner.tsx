/** Says that the demo model answers, and how to connect a real one. */
export const DemoBanner = () => (
  <aside
    aria-label="Demo model"
    className="border-line border-b bg-warn-soft px-4 py-1.5 text-center text-xs leading-5"
  >
    <strong>Demo model:</strong> it only replays the examples. For tasks of your own put{' '}
    <code className="font-mono">OPENAI_API_KEY=…</code> or the{' '}
    <code className="font-mono">OPENAI_BASE_URL=…</code> of a compatible server into{' '}
    <code className="font-mono">.env</code> and start again.
  </aside>
);
