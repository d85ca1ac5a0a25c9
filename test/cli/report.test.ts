import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/cli/report.ts';
import { invalidArgument, RelistenError } from '../../src/errors.ts';

const failure = (code: string) => new RelistenError('Cannot do it', { code, op: 'test' });

describe('exitCodeOf', () => {
  it.each([
    ['help and version', new CommanderError(0, 'commander.help', ''), 0],
    ['an unknown option', new CommanderError(1, 'commander.unknownOption', ''), 2],
    ['an invalid argument', invalidArgument('port', '70000', 'less'), 2],
    ['a command that cannot be executed', failure('ERR_COMMAND_NOT_EXECUTABLE'), 126],
    ['a command that does not exist', failure('ERR_COMMAND_NOT_FOUND'), 127],
    ['an address in use', failure('EADDRINUSE'), 1],
    ['an unforeseen error', new TypeError('oops'), 1],
    ['something that is no error', 'oops', 1],
  ])('gives %s its code', (_name, error, code) => {
    expect(exitCodeOf(error)).toBe(code);
  });
});
