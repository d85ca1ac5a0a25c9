/** How listeners reach the program; see docs/run.md. */
export interface Way {
  /** bind(2) and listen(2) are intercepted. */
  intercept: boolean;
  /** Why they are not, where they could not be. */
  whyNot?: string;
  /** Node programs get the hook. */
  hook: boolean;
  /** Listeners that -p names are passed by descriptor. */
  passed: false | 'systemd' | 'server-starter';
}

/** One sentence that says which way is in use. */
export function describeWay({ intercept, whyNot, hook, passed }: Way): string {
  const ways = [
    ...(intercept ? ['bind(2) and listen(2) are intercepted'] : []),
    ...(passed === false
      ? []
      : [`listeners are passed as ${passed === 'systemd' ? 'LISTEN_FDS' : 'SERVER_STARTER_PORT'}`]),
    ...(hook ? ['Node programs load the hook'] : []),
  ];
  const why = whyNot === undefined ? '' : `; no interception: ${whyNot}`;
  return `${ways.join(', ') || 'nothing is held: name the listener with -p'}${why}`;
}
