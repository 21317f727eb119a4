/** How many bytes a text is on the wire: budgets are bytes, lengths are not. */
export const bytes = (text: string): number => new TextEncoder().encode(text).length;
