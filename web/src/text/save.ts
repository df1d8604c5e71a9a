/** Handing text and files to the person: clipboard and downloads. */

/** @throws if the browser does not allow it */
export async function copyText(text: string): Promise<void> {
  // Only pages served by https or from this machine have a clipboard.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  if (!copied) throw new Error('The browser did not allow to copy.');
}

export function download(name: string, content: Blob): void {
  // Whatever it is, it is saved and never opened.
  const url = URL.createObjectURL(new Blob([content], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
