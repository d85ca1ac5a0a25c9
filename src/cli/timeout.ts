import { Option } from 'commander';
import { parseDuration } from './duration.ts';

/** `--timeout <duration>`, in milliseconds, with this default. */
export function timeout(description: string, otherwise: string): Option {
  return new Option('--timeout <duration>', description)
    .argParser(parseDuration)
    .default(parseDuration(otherwise), otherwise);
}
