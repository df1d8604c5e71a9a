import type { HTMLAttributes, Ref } from 'react';

interface ScrollableProps extends HTMLAttributes<HTMLElement> {
  'aria-label': string;
  ref?: Ref<HTMLElement>;
}

/** A region that scrolls by itself. It takes the focus, so that the keyboard can scroll it. */
export const Scrollable = ({ className = '', ...rest }: ScrollableProps) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
  <section tabIndex={0} className={`overflow-auto -outline-offset-2 ${className}`} {...rest} />
);
