const STEPS = [
  { name: 'Write', text: 'A model writes Python for your task. You see the code as it comes.' },
  { name: 'Check', text: 'Syntax and policy are checked before anything is run.' },
  { name: 'Run', text: 'The code runs in a sandbox without network, within a time limit.' },
  { name: 'Repair', text: 'If anything is wrong, the error goes back to the model, which tries again.' },
];

/** What is shown before anything is run: how it goes. */
export const Welcome = () => (
  <div className="max-w-xl px-4 pt-4 pb-3 lg:m-auto lg:p-10">
    <h1 className="font-semibold text-lg lg:text-xl">Describe a task, get Python that has run</h1>
    <p className="mt-1 text-muted lg:mt-2">
      Write what you need, or take one of the examples, and press Run.
    </p>
    <ol className="mt-6 hidden flex-col gap-4 lg:flex">
      {STEPS.map(({ name, text }, index) => (
        <li key={name} className="flex gap-3">
          <span
            className="flex size-6 shrink-0 items-center justify-center rounded-full bg-accent-soft font-semibold text-accent text-xs"
            aria-hidden="true"
          >
            {index + 1}
          </span>
          <p>
            <strong className="font-semibold">{name}.</strong> {text}
          </p>
        </li>
      ))}
    </ol>
  </div>
);
