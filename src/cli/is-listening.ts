import { connect } from 'node:net';
import type { Address } from '../address.ts';
import { codeOf, describeErrno, errnoOf } from '../kernel/errno.ts';

/** What a try to connect has shown. */
export interface Reached {
  listens: boolean;
  /** Why nobody could be reached, where that is more than that nobody listens. */
  why?: string;
}

/** Whether a connection to the address succeeds, within so many milliseconds; it is closed at once. */
export function isListening(address: Address, timeout: number): Promise<Reached> {
  return new Promise(fulfil => {
    const socket = connect('path' in address ? { path: address.path } : { ...address });
    const answer = (reached: Reached) => {
      socket.destroy();
      fulfil(reached);
    };
    socket.setTimeout(Math.max(1, timeout), () => answer({ listens: false, why: 'no answer' }));
    socket.on('connect', () => answer({ listens: true }));
    socket.on('error', error => answer({ listens: false, why: whyNot(codeOf(error) ?? '', address) }));
  });
}

/** The ordinary answers of an address that nobody listens on say nothing more. */
const NOBODY = ['ECONNREFUSED', 'ENOENT'];

function whyNot(code: string, address: Address): string | undefined {
  if (NOBODY.includes(code)) return undefined;
  // getaddrinfo(3)
  if (/^(ENOTFOUND|EAI_)/.test(code))
    return `the name ${'host' in address ? address.host : ''} does not resolve (${code})`;
  return `${describeErrno(errnoOf(code)).meaning} (${code})`;
}
