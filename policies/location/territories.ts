/** Land that the map draws as part of a state, though a registry answers for it by itself. */
export interface Territory {
  /** its own code of ISO 3166-1, or of the registry's area */
  readonly code: string
  /** the country in whose shape the map draws it */
  readonly within: string
  /** where it lies: west, south, east, north in degrees. A piece of land that lies in the box whole is the territory's */
  readonly box: readonly [number, number, number, number]
}

/**
 * Natural Earth draws these with the state that governs them. Without this table Svalbard would be EEA because Norway is, and
 * Bonaire would be EU because the Netherlands are. Crimea is drawn as Russia's and is nobody's here: disputed denies.
 */
export const territories: readonly Territory[] = [
  { code: 'SJ', within: 'NO', box: [9, 73, 35, 82] },
  { code: 'SJ', within: 'NO', box: [-10, 70, -7, 72] },
  { code: 'BV', within: 'NO', box: [2, -56, 5, -53] },
  { code: 'BQ', within: 'NL', box: [-69, 11, -67, 13] },
  { code: 'BQ', within: 'NL', box: [-64, 17, -62, 18] },
  { code: 'GF', within: 'FR', box: [-56, 1, -50, 7] },
  { code: 'GP', within: 'FR', box: [-62.5, 15.6, -60.5, 17] },
  { code: 'MQ', within: 'FR', box: [-61.5, 14, -60.5, 15.2] },
  { code: 'RE', within: 'FR', box: [55, -22, 56.5, -20] },
  { code: 'YT', within: 'FR', box: [44, -14, 46, -12] },
  { code: 'TK', within: 'NZ', box: [-174, -10, -170, -8] },
  { code: 'UA-43', within: 'RU', box: [32, 44, 36.8, 46.4] },
]
