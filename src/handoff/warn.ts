const said = new Set<string>();

/** Tells what was refused, once for each reason, the way Node warns: on stderr, or to the listeners of 'warning'. */
export function warnOnce(text: string): void {
  if (said.has(text)) return;
  said.add(text);
  process.emitWarning(text, 'RelistenWarning');
}
