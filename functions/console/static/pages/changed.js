/** Changes of one state of a thing, where there is nothing to choose between: its end, or going back to what it was. */
import { toastError } from "../lib/ui.js";

/**
 * Change a thing in the state that is shown. Where somebody was faster, nothing is changed, and the newer state is loaded.
 * @param {string} what The thing, for people: "The bot". @param {() => Promise<any>} act Sends the state's etag. @param {() => void} reload
 * @returns {Promise<boolean>} Whether it was changed.
 */
export async function unlessChanged(what, act, reload) {
  try {
    await act();
    return true;
  } catch (error) {
    if (!error.isConflict) throw error;
    toastError({ message: `${what} was changed by somebody else meanwhile; nothing was done, and its newer state is loaded.`, hint: "Look at it, then try again." });
    reload();
    return false;
  }
}
