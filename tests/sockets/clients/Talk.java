// A client of Java's own: says each message when the one before has come back, and tells what came of it as JSON.
//
//   java Talk.java URL
//
// The messages are those of `messages()` in ../test_every_client.py.

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;

public class Talk {
    static final BlockingQueue<Object> came = new LinkedBlockingQueue<>();

    static class Listener implements WebSocket.Listener {
        final StringBuilder text = new StringBuilder();
        final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override
        public CompletionStage<?> onText(WebSocket ws, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
                came.add(text.toString());
                text.setLength(0);
            }
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer data, boolean last) {
            byte[] part = new byte[data.remaining()];
            data.get(part);
            bytes.writeBytes(part);
            if (last) {
                came.add(bytes.toByteArray());
                bytes.reset();
            }
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
            came.add(code);
            return null;
        }

        @Override
        public void onError(WebSocket ws, Throwable error) {
            came.add(error);
        }
    }

    static boolean isSame(Object sent, Object got) {
        return sent instanceof byte[] bytes && got instanceof byte[] back ? Arrays.equals(bytes, back) : sent.equals(got);
    }

    public static void main(String[] arguments) throws Exception {
        String text = "compress me, é漢🙂, ".repeat(100);
        byte[] bytes = new byte[100000];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) ((long) at * at >> 8);
        }
        Object[] messages = {text, text, "", "short", text + "!", bytes, text, bytes, new byte[0], new byte[100000]};
        WebSocket ws = HttpClient.newHttpClient()
            .newWebSocketBuilder()
            .buildAsync(URI.create(arguments[0]), new Listener())
            .join();
        int equal = 0;
        for (Object message : messages) {
            if (message instanceof byte[] data) {
                ws.sendBinary(ByteBuffer.wrap(data), true).join();
            } else {
                ws.sendText((String) message, true).join();
            }
            equal += isSame(message, came.take()) ? 1 : 0;
        }
        ws.sendClose(1000, "done").join();
        System.out.printf("{\"equal\": %d, \"code\": %s, \"extensions\": null}%n", equal, came.take());
        System.exit(0);
    }
}
