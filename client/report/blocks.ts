/* What a report is written in before it is Markdown or HTML, so that both say the same. */

/** A piece of a line. A text alone is written as it is, never as markup, whoever wrote it. */
export type Piece =
  | string
  /** digests, codes, commands, ids */
  | { readonly code: string }
  | { readonly strong: string }
  /** `href`: an address that the reader of the report typed, with a path of ours */
  | { readonly link: string; readonly href: string }

export type Line = readonly Piece[]

export type Block =
  | { readonly kind: 'heading'; readonly level: 1 | 2 | 3 | 4; readonly text: string; readonly id: string }
  | { readonly kind: 'paragraph'; readonly line: Line }
  | { readonly kind: 'note'; readonly line: Line }
  | { readonly kind: 'list'; readonly items: readonly Line[] }
  /** what is named, and what it is */
  | { readonly kind: 'terms'; readonly caption: string; readonly rows: readonly (readonly [string, Line])[] }
  | {
      readonly kind: 'table'
      readonly caption: string
      readonly head: readonly string[]
      readonly rows: readonly (readonly Line[])[]
    }
  | { readonly kind: 'listing'; readonly text: string }

export const paragraph = (...line: Piece[]): Block => ({ kind: 'paragraph', line })
export const note = (...line: Piece[]): Block => ({ kind: 'note', line })
export const list = (...items: Line[]): Block => ({ kind: 'list', items })

/** A name in a document for a text: letters and digits alone. */
export const idFor = (...parts: readonly (string | number)[]): string =>
  parts
    .map((one) =>
      String(one)
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-'),
    )
    .join('-')
    .replace(/^-+|-+$/g, '')
