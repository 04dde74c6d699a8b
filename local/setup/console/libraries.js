// What the console takes of its libraries, as local/setup/console.sh makes one file of it: under all their names.
export { Component, h, render } from "preact";
export { useEffect, useId, useRef, useState } from "preact/hooks";
export { default } from "htm";
export { computed, signal } from "@preact/signals";
