/** What belongs in policies/registry: names of places and their memberships. Nothing here says where a node is. */

/**
 * The officially assigned codes of ISO 3166-1 alpha-2, 249 of them. Reserved and user-assigned codes (UK, EU, EL, XK) are
 * not here: a code that nobody assigned is unknown, and unknown denies.
 *
 * source  ISO 3166-1:2020, "Officially assigned code elements"
 */
const assigned = new Set(
  (
    'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ ' +
    'CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR ' +
    'GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP ' +
    'KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT ' +
    'MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW ' +
    'SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ ' +
    'UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW'
  ).split(' '),
)

/** Spellings that people write for a country, and the code that is meant. */
const mistaken: Readonly<Record<string, string>> = { EL: 'GR', UK: 'GB' }

/** Whether ISO 3166-1 assigns this alpha-2 code. */
export function isCountry(code: string): boolean {
  return assigned.has(code)
}

/** The code that was meant, where one is known. */
export function countryMeant(code: string): string | undefined {
  return mistaken[code] ?? (assigned.has(code.toUpperCase()) ? code.toUpperCase() : undefined)
}
