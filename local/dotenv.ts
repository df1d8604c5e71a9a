import dotenv from 'dotenv';

/** Takes over what `.env` sets and the environment does not. */
export function loadDotenv(): void {
  dotenv.config({ quiet: true });
}
