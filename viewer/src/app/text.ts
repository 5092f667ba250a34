/** Numbers as people read them. */

/** `1:05.25`: minutes, seconds, hundredths. */
export function clockText(seconds: number): string {
  const hundredths = Math.round(100 * Math.max(0, seconds));
  const minutes = Math.floor(hundredths / 6000);
  const rest = (hundredths % 6000) / 100;
  const text = rest.toFixed(2).padStart(5, "0");
  if (minutes < 60) return `${minutes}:${text}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${text}`;
}

/** Bits a second. */
export function rateText(bits: number): string {
  if (bits >= 999_500) return `${(bits / 1e6).toPrecision(3)} Mbit/s`;
  return `${Math.round(bits / 1e3)} kbit/s`;
}

export function sizeText(bytes: number): string {
  if (bytes >= 999_500_000) return `${(bytes / 1e9).toPrecision(3)} GB`;
  if (bytes >= 999_500) return `${(bytes / 1e6).toPrecision(3)} MB`;
  return `${Math.round(bytes / 1e3)} kB`;
}
