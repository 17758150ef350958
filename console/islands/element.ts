import { printable } from '#core/shown.js'

/*
 * The only way in which an island writes: elements by name, attributes by name, and text as text. Nothing that a stranger wrote
 * is ever read as markup; the page's policy (Trusted Types) refuses the ways in which it could be.
 */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

/** A piece of a page: an element, or a text that is shown with its control characters taken out. */
export type Piece = Node | string | null

/** An element with its attributes; one that is false or undefined is left out. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes,
  ...pieces: readonly Piece[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : String(value))
  made.append(
    ...pieces.flatMap((piece) => (piece === null ? [] : [typeof piece === 'string' ? printable(piece) : piece])),
  )
  return made
}

/** The element of the page with this id. It is the page's own: that it is missing is a bug. */
export function byId<T extends HTMLElement>(id: string, of: new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof of)) throw new Error(`assertion failed: the page has a ${of.name} with id ${id}`)
  return found
}
