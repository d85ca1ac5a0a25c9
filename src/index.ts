export { type Address, formatAddress, parseAddress, type SocketAddress } from './address.ts';
export { RelistenError, type RelistenErrorFacts } from './errors.ts';
export type * from './inspection.ts';
