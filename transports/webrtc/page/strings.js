/** The page's own words. Languages without a table are served in English. */

import en from "./strings-en.js";
import es from "./strings-es.js";
import fr from "./strings-fr.js";
import de from "./strings-de.js";

const TABLES = { en, es, fr, de };

/** The table for the first of `languages` (BCP 47) that there is one for, and its language. */
export function strings(...languages) {
  for (const language of languages) {
    const primary = (language ?? "").toLowerCase().split("-")[0];
    if (Object.hasOwn(TABLES, primary)) return { language: primary, table: { ...en, ...TABLES[primary] } };
  }
  return { language: "en", table: en };
}

/** A language's name in that language: "español" for es-ES, with the region where two differ only in it. */
export function languageName(tag, among = [tag]) {
  const primary = tag.split("-")[0];
  const alone = among.filter((other) => other.split("-")[0] === primary).length < 2;
  try {
    const name = new Intl.DisplayNames([tag], { type: "language" }).of(alone ? primary : tag);
    return name.charAt(0).toLocaleUpperCase(tag) + name.slice(1);
  } catch {
    return tag; // not a tag that the browser knows
  }
}
