import { useEffect, useState } from 'react';
import { copyText } from '../text/save.ts';
import { Button } from './controls.tsx';
import { CheckIcon, CopyIcon } from './icons.tsx';

interface CopyButtonProps {
  /** What is done, and the button's name: "Copy code". */
  name: string;
  /** The words on the button; default: the name. */
  label?: string;
  text: () => string;
  Icon?: typeof CopyIcon;
}

/** Copies a text and says whether it did. */
export function CopyButton({ name, label = name, text, Icon = CopyIcon }: CopyButtonProps) {
  const [result, setResult] = useState<'Copied' | 'Not allowed' | null>(null);
  useEffect(() => {
    if (!result) return;
    const timer = setTimeout(() => setResult(null), 2_000);
    return () => clearTimeout(timer);
  }, [result]);
  const copy = () =>
    copyText(text()).then(
      () => setResult('Copied'),
      () => setResult('Not allowed'),
    );
  return (
    <Button look="quiet" onClick={() => void copy()} aria-label={name} title={name}>
      {result === 'Copied' ? <CheckIcon className="text-ok" /> : <Icon />}
      <span className={label === name ? undefined : 'hidden sm:inline'} aria-hidden="true">
        {result ?? label}
      </span>
      <span role="status" className="sr-only">
        {result}
      </span>
    </Button>
  );
}
