import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools one after the other in one process: starting a process for each takes most of their time.
 *
 * Run from source as it stands (see ../tools.sh): {@code java -cp JARS Tools.java}. Each line of its input is a call, its
 * parts separated by the character 31: the files for the output, the errors and the input, the seconds that it may take, the
 * class, the arguments. After each it prints the tool's exit status, 124 if the time was up.
 */
public class Tools {
    /** What the tool ends with. */
    private static volatile CompletableFuture<Integer> ended;
    /** What is to run at the end of the tool. */
    private static final List<Runnable> hooks = new CopyOnWriteArrayList<>();

    /** As a real exit would, this never comes back: nothing of what the caller would do next is done. */
    private static void end(int status) {
        ended.complete(status);
        while (true) LockSupport.park();
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Exit.setExitProcedure((status, message) -> end(status));
        Exit.setHaltProcedure((status, message) -> end(status));
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        for (String call; (call = calls.readLine()) != null;) {
            String[] parts = call.split("\u001f", -1);
            answers.println(run(parts));
            answers.flush();
        }
        // Threads that a tool has left behind do not keep us.
        Runtime.getRuntime().halt(0);
    }

    private static int run(String[] parts) throws Exception {
        try (PrintStream out = new PrintStream(parts[0], StandardCharsets.UTF_8);
                PrintStream errors = new PrintStream(parts[1], StandardCharsets.UTF_8);
                InputStream in = new FileInputStream(parts[2])) {
            System.setOut(out);
            System.setErr(errors);
            System.setIn(in);
            ended = new CompletableFuture<>();
            hooks.clear();
            Thread tool = new Thread(() -> call(parts[4], Arrays.copyOfRange(parts, 5, parts.length)), "tool");
            tool.setDaemon(true);
            tool.start();
            int status;
            try {
                status = ended.get(Long.parseLong(parts[3]), TimeUnit.SECONDS);
            } catch (TimeoutException late) {
                for (StackTraceElement frame : tool.getStackTrace()) errors.println("    at " + frame);
                status = 124;
            }
            hooks.forEach(Runnable::run);
            return status;
        }
    }

    private static void call(String name, String[] arguments) {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            ended.complete(0);
        } catch (InvocationTargetException failed) {
            failed.getCause().printStackTrace();
            ended.complete(1);
        } catch (ReflectiveOperationException missing) {
            missing.printStackTrace();
            ended.complete(127);
        }
    }
}
