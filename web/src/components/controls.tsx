/** The page's buttons, links and notices. */
import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { navigate } from '../hooks/use-route.ts';
import { AlertIcon, InfoIcon } from './icons.tsx';

const LOOKS = {
  primary: 'bg-accent text-on-accent font-semibold hover:brightness-110 disabled:opacity-60',
  plain: 'border border-control bg-panel hover:bg-hover disabled:opacity-60',
  quiet: 'text-muted hover:bg-hover hover:text-text disabled:opacity-60',
};

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: keyof typeof LOOKS;
}

export const Button = ({ look = 'plain', className = '', ...rest }: ButtonProps) => (
  <button
    type="button"
    className={`inline-flex min-h-8 items-center justify-center gap-1.5 whitespace-nowrap rounded-md px-2.5 py-1 ${LOOKS[look]} ${className}`}
    {...rest}
  />
);

/** A link within the page; with a modifier key the browser opens it as it opens any link. */
export const Link = ({
  href,
  children,
  className,
  current,
}: {
  href: string;
  children: ReactNode;
  className?: string;
  /** It leads to what is shown. */
  current?: boolean;
}) => (
  <a
    href={href}
    className={className}
    aria-current={current ? 'page' : undefined}
    onClick={(event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0) return;
      event.preventDefault();
      navigate(href);
    }}
  >
    {children}
  </a>
);

const NOTICES = {
  info: { look: 'bg-accent-soft text-text', Icon: InfoIcon },
  warning: { look: 'bg-warn-soft text-text', Icon: AlertIcon },
  error: { look: 'bg-fail-soft text-text', Icon: AlertIcon },
};

/** A sentence that says what is so and, where there is one, the next step. Errors are announced. */
export function Notice({
  kind,
  children,
  action,
}: {
  kind: keyof typeof NOTICES;
  children: ReactNode;
  action?: ReactNode;
}) {
  const { look, Icon } = NOTICES[kind];
  return (
    <div
      role={kind === 'error' ? 'alert' : undefined}
      className={`flex items-start gap-2 rounded-md px-3 py-2 ${look}`}
    >
      <Icon className="mt-0.5" />
      <div className="min-w-0 flex-1 break-words">{children}</div>
      {action}
    </div>
  );
}
