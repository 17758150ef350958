import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createFetch, parseJson, thumbprint, trustFileShape, verifyTrustFile } from 'claviger'
import OpenAI from 'openai'

const now = () => Math.floor(Date.now() / 1000)

/** Transcribes a recording on the node at `url`; `trustPath` is your own trust file. */
export async function transcribe(url: string, trustPath: string, recording: string): Promise<string> {
  const file = trustFileShape(parseJson(await readFile(trustPath)), 'trust file')
  const { trust } = await verifyTrustFile(file, null, now()) // remember its version in place of `null`
  const owner = trust.owners.find(({ alias }) => alias === 'acme')
  if (owner === undefined) throw new Error('acme is not in the trust file')

  const openai = new OpenAI({
    apiKey: 'unused', // dropped: what you prove yourself with is `credential`
    baseURL: 'https://node.invalid/v1', // only path and body count, and they travel inside the seal
    maxRetries: 0, // a refusal is not a hiccup
    fetch: createFetch({
      url,
      trust,
      policy: {
        type: 'claviger/client-policy/v1',
        model: `${thumbprint(owner.key)}/whisper`,
        manifests: null,
        versionMin: 1,
        countries: ['DE', 'FR'],
        beatAgeSecondsMax: 300,
        witnessesMin: 0,
        dangerousAllowSimulated: false,
      },
      credential: null,
      fetch: globalThis.fetch,
      now,
      randomBytes: (size) => new Uint8Array(randomBytes(size)),
      timeoutMs: 120_000,
      onAnswer: ({ receipt, file }) => writeFile(`${receipt.receipt.id}.json`, JSON.stringify(file)),
    }),
  })
  const answer = await openai.audio.transcriptions.create({ model: 'whisper', file: createReadStream(recording) })
  return answer.text
}
