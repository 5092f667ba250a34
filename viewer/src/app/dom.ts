/** Elements of the page by id. */

/** @throws Error if the page lacks it: page and script do not belong together. */
export function find<T extends HTMLElement>(id: string, kind: abstract new (...words: never[]) => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}
