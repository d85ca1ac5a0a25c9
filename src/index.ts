export { type Address, formatAddress, parseAddress, type SocketAddress } from './address.ts';
export { track } from './drain/connections.ts';
export { drain } from './drain/drain.ts';
export type { DrainOptions } from './drain/options.ts';
export type { CutConnection, Draining, DrainPhase, DrainProgress, DrainReport, Protocol } from './drain/report.ts';
export type { DrainTarget } from './drain/targets.ts';
export { RelistenError, type RelistenErrorFacts } from './errors.ts';
export { type InspectOptions, inspect } from './inspect/inspect.ts';
export type * from './inspection.ts';
