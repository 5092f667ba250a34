/** The list of what a server has, for pages that were opened without a choice. */

import { find } from "./dom.ts";
import type { Library, Site } from "./source.ts";
import { sizeText } from "./text.ts";

const AGAIN = 5000; // milliseconds

/** Show the list, and keep it up to date for as long as the page is open. */
export function showLibrary(site: Site): void {
  document.title = "igs player";
  find("library", HTMLElement).hidden = false;
  find("stage", HTMLElement).hidden = true;
  const refresh = async (): Promise<void> => {
    const note = find("library-note", HTMLElement);
    try {
      fill(await site.library());
      note.textContent = "";
    } catch (error) {
      note.textContent = (error as Error).message;
    }
    setTimeout(() => void refresh(), AGAIN);
  };
  void refresh();
}

function fill({ sessions, recordings }: Library): void {
  const live = sessions.filter((session) => session.state !== "ended" && session.state !== "failed");
  list("sessions", live.map((session) =>
    row(`?live=${encodeURIComponent(session.name)}`, session.name, session.state)));
  list("recordings", recordings.map(({ name, bytes, modified }) => {
    const about = `${sizeText(bytes)}, ${new Date(1000 * modified).toLocaleString()}`;
    return row(`?recording=${encodeURIComponent(name)}`, name.replace(/\.fvv$/, ""), about);
  }));
}

function list(id: string, rows: HTMLLIElement[]): void {
  const none = document.createElement("li");
  none.className = "none";
  none.textContent = "none";
  const place = find(id, HTMLUListElement);
  const focused = place.querySelector<HTMLAnchorElement>("a:focus")?.getAttribute("href");
  place.replaceChildren(...(rows.length > 0 ? rows : [none]));
  if (focused) place.querySelector<HTMLAnchorElement>(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function row(href: string, name: string, about: string): HTMLLIElement {
  const link = document.createElement("a");
  const detail = document.createElement("span");
  link.href = href;
  detail.textContent = about;
  link.append(name, detail);
  const item = document.createElement("li");
  item.append(link);
  return item;
}
