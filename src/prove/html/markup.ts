/** Text that may stand in an element or an attribute. */
export function escaped(text: string | number): string {
  return String(text).replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}

/** One SVG or HTML element; `content` is markup already. */
export function element(name: string, attributes: Record<string, string | number>, content = ''): string {
  const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`);
  return `<${name}${list.join('')}>${content}</${name}>`;
}

/** What a pointer that rests on a mark is told. */
export function hint(text: string): string {
  return element('title', {}, escaped(text));
}

/** A coordinate with a tenth of a pixel. */
export function px(value: number): number {
  return Math.round(value * 10) / 10;
}
