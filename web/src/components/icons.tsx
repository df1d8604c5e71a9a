/** The page's icons: strokes of the text's colour, one em large, silent to screen readers. */
import type { ReactNode } from 'react';

const icon = (shape: ReactNode) => {
  const Icon = ({ className = '' }: { className?: string }) => (
    <svg
      className={`inline-block size-[1.15em] shrink-0 ${className}`}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {shape}
    </svg>
  );
  return Icon;
};

export const CheckIcon = icon(<path d="m3 8.5 3.2 3.2L13 5" />);
export const CrossIcon = icon(<path d="m4 4 8 8m0-8-8 8" />);
export const StopIcon = icon(<rect x="4" y="4" width="8" height="8" rx="1.2" />);
export const PlayIcon = icon(<path d="M5 3.2v9.6L12.6 8z" />);
export const ClockIcon = icon(<path d="M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 4.8V8l2.2 1.6" />);
export const AlertIcon = icon(<path d="M8 2.2 14.4 13.4H1.6zM8 6.4v3.2m0 2v.1" />);
export const InfoIcon = icon(<path d="M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 7.4v3.4m0-5.9v.1" />);
export const CopyIcon = icon(<path d="M5.5 5.5h7v8h-7zM3.5 10.5v-8h7" />);
export const DownloadIcon = icon(<path d="M8 2.5v7.4m-3-3 3 3 3-3M3 13.3h10" />);
export const RepeatIcon = icon(<path d="M13 8A5 5 0 1 1 11 4l2 1.6m0-3.1v3.1H9.9" />);
export const EditIcon = icon(<path d="M10.6 3.2 12.8 5.4 5.6 12.6l-2.8.6.6-2.8z" />);
export const ShareIcon = icon(
  <path d="M6.6 9.4a2.6 2.6 0 0 0 3.7 0l2.4-2.4A2.6 2.6 0 0 0 9 3.3l-.9.9m1.3 2.4a2.6 2.6 0 0 0-3.7 0L3.3 9A2.6 2.6 0 0 0 7 12.7l.9-.9" />,
);
export const SearchIcon = icon(<path d="M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9m3.3 7.8 3.2 3.2" />);
export const SunIcon = icon(
  <path d="M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.4v1.4m0 10.4v1.4M1.4 8h1.4m10.4 0h1.4M3.3 3.3l1 1m7.4 7.4 1 1m0-9.4-1 1M4.3 11.7l-1 1" />,
);
export const MoonIcon = icon(<path d="M13.2 9.8A5.8 5.8 0 0 1 6.2 2.8a5.8 5.8 0 1 0 7 7" />);
export const ScreenIcon = icon(<path d="M2 3h12v8H2zm4 10.5h4" />);
export const ChevronIcon = icon(<path d="m6 4 4 4-4 4" />);
export const SpinnerIcon = ({ className = '' }: { className?: string }) => (
  <svg
    className={`inline-block size-[1.15em] shrink-0 animate-spin ${className}`}
    viewBox="0 0 16 16"
    fill="none"
    stroke="currentColor"
    strokeWidth="2"
    strokeLinecap="round"
    aria-hidden="true"
  >
    <path d="M8 2a6 6 0 1 1-6 6" />
  </svg>
);
export const PlusIcon = icon(<path d="M8 3v10M3 8h10" />);
export const ShieldIcon = icon(
  <path d="M8 1.8 13 3.6v4c0 3.2-2 5.4-5 6.6-3-1.2-5-3.4-5-6.6v-4zM6 8l1.6 1.6L10.2 6.6" />,
);
