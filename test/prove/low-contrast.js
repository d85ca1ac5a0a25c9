/* Runs in a page: the texts whose contrast to the nearest painted ground is under 4.5 to 1 (WCAG 2.2, 1.4.3). */
(() => {
  const parts = color => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = color => {
    const [r, g, b] = parts(color)
      .slice(0, 3)
      .map(value => value / 255)
      .map(value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    if (!element) return 'rgb(255, 255, 255)';
    const { backgroundColor } = getComputedStyle(element);
    return parts(backgroundColor)[3] === 0 ? ground(element.parentElement) : backgroundColor;
  };
  const texts = 'h1, h2, p, dt, dd, small, li, th, td, code, .badge, svg text:not(.inside)';
  return [...document.querySelectorAll(texts)].flatMap(element => {
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [light, dark] = [luminance(color), luminance(ground(element))].sort((one, other) => other - one);
    const contrast = (light + 0.05) / (dark + 0.05);
    return contrast < 4.5 ? [`${element.textContent.slice(0, 30)}: ${contrast.toFixed(2)}`] : [];
  });
})();
