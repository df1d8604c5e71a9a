import { useEffect, useRef, useState } from 'react';
import type { Artifact, SkippedArtifact } from '../../../functions/execution/execution.ts';
import type { Client } from '../api/client.ts';
import { type ArtifactId, useArtifact, usePictureUrl } from '../hooks/use-artifact.ts';
import { parseCsv, type Table } from '../text/csv.ts';
import { bytes, count } from '../text/format.ts';
import { Button, Notice } from './controls.tsx';
import { DownloadButton } from './DownloadButton.tsx';
import { Panel } from './Panel.tsx';
import { Scrollable } from './Scrollable.tsx';

/** What a browser shows as a picture without running anything. SVG can hold scripts: it is a file to download. */
const PICTURES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
/** Bytes up to which a table is shown. */
const MAX_TABLE = 2_000_000;

interface ArtifactGalleryProps {
  client: Client;
  execution: string;
  attempt: number;
  artifacts: Artifact[];
  /** What was left out. */
  skipped?: SkippedArtifact[];
  className?: string;
}

/** The files that an attempt left: pictures and tables to look at, everything to download; and which were left out. */
export function ArtifactGallery(props: ArtifactGalleryProps) {
  const { client, execution, attempt, artifacts, skipped = [], className } = props;
  const note = [
    artifacts.length > 0 && count(artifacts.length, 'file'),
    skipped.length > 0 && `${skipped.length} left out`,
  ];
  return (
    <Panel title="Files" note={note.filter(Boolean).join(', ')} className={className}>
      <div className="flex flex-col gap-3 overflow-y-auto p-3">
        {skipped.length > 0 && <LeftOut files={skipped} />}
        {artifacts.length > 0 && (
          <ul className="grid auto-rows-max gap-3 sm:grid-cols-[repeat(auto-fill,minmax(13rem,1fr))]">
            {artifacts.map((artifact) => {
              const id = { execution, attempt, name: artifact.name };
              const Preview = previewOf(artifact);
              return (
                <li
                  key={artifact.name}
                  className="flex min-w-0 flex-col overflow-hidden rounded-md border border-line bg-inset"
                >
                  {Preview && <Preview client={client} id={id} artifact={artifact} />}
                  <div className="flex items-center gap-2 px-2 py-1.5">
                    <span className="min-w-0 flex-1">
                      <span className="block truncate" title={artifact.name}>
                        {artifact.name}
                      </span>
                      <span className="text-muted text-xs">{bytes(artifact.size)}</span>
                    </span>
                    <DownloadButton
                      name={`Download ${id.name}`}
                      fileName={id.name.split('/').at(-1) ?? id.name}
                      read={() => client.artifact(id.execution, id.attempt, id.name)}
                    />
                  </div>
                </li>
              );
            })}
          </ul>
        )}
      </div>
    </Panel>
  );
}

/** Files that are not handed over, each with the reason. Before the others, of which there may be many. */
const LeftOut = ({ files }: { files: SkippedArtifact[] }) => (
  <Scrollable aria-label="Left out" className="max-h-32 shrink-0">
    <ul className="flex flex-col gap-1">
      {files.map(({ name, reason }, index) => (
        <li key={`${index} ${name}`} className="break-words text-muted text-xs">
          Left out: <bdi className="text-text">{name}</bdi>, {reason}
        </li>
      ))}
    </ul>
  </Scrollable>
);

interface PreviewProps {
  client: Client;
  id: ArtifactId;
  artifact: Artifact;
}

function previewOf({ name, content_type, size }: Artifact) {
  if (PICTURES.includes(content_type)) return Picture;
  if ((content_type.startsWith('text/csv') || name.endsWith('.csv')) && size <= MAX_TABLE) return CsvTable;
  return null;
}

/** A picture; a click shows it large. */
function Picture({ client, id, artifact }: PreviewProps) {
  const content = useArtifact(client, id);
  const url = usePictureUrl(content, artifact.content_type);
  const [broken, setBroken] = useState(false);
  const [large, setLarge] = useState(false);
  return (
    <div className="flex aspect-4/3 items-center justify-center border-line border-b bg-white">
      {content instanceof Error && <Notice kind="error">{content.message}</Notice>}
      {broken && <Notice kind="warning">This file cannot be shown as a picture. Download it instead.</Notice>}
      {url && !broken && (
        <>
          <button
            type="button"
            className="size-full cursor-zoom-in -outline-offset-2"
            aria-label={`Show ${artifact.name} large`}
            onClick={() => setLarge(true)}
          >
            <img
              src={url}
              alt={artifact.name}
              className="size-full object-contain"
              onError={() => setBroken(true)}
            />
          </button>
          {large && <LargePicture url={url} name={artifact.name} onClose={() => setLarge(false)} />}
        </>
      )}
    </div>
  );
}

interface LargePictureProps {
  url: string;
  name: string;
  onClose: () => void;
}

/** A picture as large as the window allows; a click on it shows it in real size, and back. */
function LargePicture({ url, name, onClose }: LargePictureProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [realSize, setRealSize] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => dialog.current?.close();
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc closes a dialog by itself
    <dialog
      ref={dialog}
      aria-label={name}
      onClose={onClose}
      // What is in the dialog covers it: a click on itself is one on its backdrop.
      onClick={(event) => event.target === event.currentTarget && close()}
      className="m-auto max-h-[95dvh] max-w-[95dvw] rounded-lg bg-white backdrop:bg-black/70"
    >
      <div className="flex max-h-[95dvh] flex-col gap-2 p-2">
        <div className="flex min-h-0 overflow-auto">
          <button
            type="button"
            aria-label={`${name} in real size`}
            aria-pressed={realSize}
            onClick={() => setRealSize(!realSize)}
            className={`m-auto -outline-offset-2 ${realSize ? 'cursor-zoom-out' : 'cursor-zoom-in'}`}
          >
            <img
              src={url}
              alt={name}
              className={realSize ? 'max-w-none' : 'max-h-[calc(95dvh-4rem)] max-w-full object-contain'}
            />
          </button>
        </div>
        <Button onClick={close}>Close</Button>
      </div>
    </dialog>
  );
}

function CsvTable({ client, id, artifact }: PreviewProps) {
  const content = useArtifact(client, id);
  const [table, setTable] = useState<Table | null>(null);
  useEffect(() => {
    if (!(content instanceof Blob)) return;
    let current = true;
    void content.text().then((text) => current && setTable(parseCsv(text)));
    return () => {
      current = false;
    };
  }, [content]);
  if (content instanceof Error) return <Notice kind="error">{content.message}</Notice>;
  return (
    <Scrollable aria-label={artifact.name} className="aspect-4/3 border-line border-b">
      {table && (
        <>
          <table className="min-w-full border-collapse text-left text-xs">
            <thead className="sticky top-0 bg-panel">
              <tr>
                {table.header.map((name, column) => (
                  <th key={`${column} ${name}`} scope="col" className="border-line border-b px-2 py-1">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {table.rows.map((row, line) => (
                <tr key={`${line}`} className="even:bg-hover">
                  {row.map((value, column) => (
                    <td
                      key={`${column}`}
                      className="max-w-60 truncate whitespace-nowrap px-2 py-1 tabular-nums"
                    >
                      {value}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {table.cut && (
            <p className="p-2 text-muted text-xs">There is more. Download the file to see all of it.</p>
          )}
        </>
      )}
    </Scrollable>
  );
}
