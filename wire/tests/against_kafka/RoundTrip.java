// Has Kafka's own classes read every message in a folder, to the last byte, and write it again: the bytes must be the
// same. Files are named <message>-<version>-<number>.
//
// usage: java -cp KAFKA_JARS RoundTrip.java FOLDER

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.Readable;

public class RoundTrip {
    // The records of the group coordinator lie in its own package.
    private static Class<?> messageClass(String name) throws ClassNotFoundException {
        try {
            return Class.forName("org.apache.kafka.common.message." + name + "Data");
        } catch (ClassNotFoundException missing) {
            try {
                return Class.forName("org.apache.kafka.common.message." + name);
            } catch (ClassNotFoundException missingToo) {
                return Class.forName("org.apache.kafka.coordinator.group.generated." + name);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        List<Path> files;
        try (Stream<Path> listed = Files.list(Path.of(arguments[0]))) {
            files = listed.sorted().toList();
        }
        int failures = 0;
        for (Path file : files) {
            String[] name = file.getFileName().toString().split("-");
            short version = Short.parseShort(name[1]);
            byte[] bytes = Files.readAllBytes(file);
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            try {
                Message message = (Message) messageClass(name[0])
                        .getConstructor(Readable.class, short.class)
                        .newInstance(new ByteBufferAccessor(buffer), version);
                ByteBuffer written = MessageUtil.toByteBufferAccessor(message, version).buffer();
                byte[] again = Arrays.copyOfRange(written.array(), written.arrayOffset() + written.position(),
                        written.arrayOffset() + written.limit());
                if (buffer.hasRemaining() || !Arrays.equals(bytes, again)) {
                    failures++;
                    System.out.println(file.getFileName() + ": " + buffer.remaining() + " bytes left, read " + message);
                }
            } catch (Exception error) {
                failures++;
                System.out.println(file.getFileName() + ": " + error + " " + error.getCause());
            }
        }
        System.out.println(files.size() + " messages read and written by Kafka, " + failures + " failures");
        if (files.isEmpty() || failures > 0) {
            System.exit(1);
        }
    }
}
