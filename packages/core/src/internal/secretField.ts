/** Where in a message a secret stands, whatever it looks like. */

/** The name of a variable may be such a field. */
const secretField =
  /(?:^|[a-z_.-])(?:api[_-]?key|(?:access|refresh|id|auth|bearer|session|client|github)[_-]?token|secret(?:[_-]?(?:access)?[_-]?key)?|password|authorization|cookie|(?:user|pairing|verification)[_-]?code|private[_-]?key)$|^token$|_(?:TOKEN|KEY|PASS(?:WD|PHRASE)?)$/i

/** Whether the values of the field are secret. */
export const isSecretField = (name: string): boolean => secretField.test(name)

/** Whether the member is a secret that is written to the configuration: its name stands beside it. */
export const isSecretSetting = (setting: { readonly [name: string]: unknown }, member: string): boolean => {
  const { keyPath } = setting
  // A segment may be in quotes.
  return member === "value" && typeof keyPath === "string" && isSecretField(keyPath.replace(/"$/, ""))
}

/** What of an address is for one use by one person. */
const secretQuery = /(?<=[?&](?:code|state|token|code_challenge|access_token|api_key|key|sig|signature)=)[^&\s"'#]+/g

/** Takes that out of the addresses in a text. */
export const redactQuery = (text: string, replacement: string): string => text.replace(secretQuery, replacement)
