import { Option } from 'commander';
import { durationOf, parseDuration } from './duration.ts';

/** `--timeout <duration>`, in milliseconds, with this default. */
export function timeout(description: string, otherwise: string): Option {
  return new Option('--timeout <duration>', description)
    .argParser(durationOf('--timeout'))
    .default(parseDuration(otherwise), otherwise);
}
