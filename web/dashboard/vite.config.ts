import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// `npm run dev` shows the page of a hub that runs beside it
const hub = { target: "http://127.0.0.1:8000", ws: true };

export default defineConfig({
  plugins: [svelte()],
  base: "./",
  build: { target: "es2022", modulePreload: false, chunkSizeWarningLimit: 400 },
  server: { proxy: { "/api": hub, "/ws": hub } },
});
