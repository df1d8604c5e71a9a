import { useEffect, useState } from 'react';
import type { Client } from '../api/client.ts';

export interface ArtifactId {
  execution: string;
  attempt: number;
  name: string;
}

/** The content of an artifact, read once: null until it is there, an Error if it cannot be read. */
export function useArtifact(client: Client, { execution, attempt, name }: ArtifactId): Blob | Error | null {
  const [content, setContent] = useState<Blob | Error | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    setContent(null);
    client.artifact(execution, attempt, name, stop.signal).then(setContent, (error: Error) => {
      if (!stop.signal.aborted) setContent(error);
    });
    return () => stop.abort();
  }, [client, execution, attempt, name]);
  return content;
}

/** A URL of a picture for <img>. The type is one of ours, whatever the artifact says it is. */
export function usePictureUrl(content: Blob | Error | null, type: string): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (!(content instanceof Blob)) return;
    const created = URL.createObjectURL(new Blob([content], { type }));
    setUrl(created);
    return () => URL.revokeObjectURL(created);
  }, [content, type]);
  return url;
}
