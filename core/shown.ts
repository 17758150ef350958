/** What belongs here: how words that a stranger wrote are shown, on a terminal, a page or in a line to be typed. */

/**
 * What a stranger wrote, on one line: control and formatting characters would let it move the cursor, hide a line or add one
 * that looks like ours. They are shown as `?`.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
}

/** A word of a printed command, as a shell has to read it. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
