import { useState } from 'react';
import { download } from '../text/save.ts';
import { Button } from './controls.tsx';
import { DownloadIcon, SpinnerIcon } from './icons.tsx';

interface DownloadButtonProps {
  /** What is done, and the button's name: "Download plot.png". */
  name: string;
  /** The words on the button. @default - none */
  label?: string;
  /** The name under which it is saved. */
  fileName: string;
  read: () => Promise<Blob>;
}

/** Saves a file, and says if that failed. */
export function DownloadButton({ name, label, fileName, read }: DownloadButtonProps) {
  const [state, setState] = useState<'ready' | 'loading' | 'failed'>('ready');
  const save = async () => {
    setState('loading');
    try {
      download(fileName, await read());
      setState('ready');
    } catch {
      setState('failed');
    }
  };
  return (
    <Button
      look="quiet"
      disabled={state === 'loading'}
      onClick={() => void save()}
      aria-label={name}
      title={name}
    >
      {state === 'loading' ? <SpinnerIcon /> : <DownloadIcon />}
      {state === 'failed' ? 'Failed. Try again' : label}
    </Button>
  );
}
