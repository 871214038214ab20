import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import fr_api.v1.Candidate;
import fr_api.v1.EnrolRequest;
import fr_api.v1.GalleryServiceGrpc;
import fr_api.v1.Image;
import fr_api.v1.Probe;
import fr_api.v1.Purpose;
import fr_api.v1.SearchRequest;
import fr_api.v1.SearchResponse;
import io.grpc.CallCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/**
 * Enrols one photo, and searches with another.
 *
 * <p>FR_SERVER=HOST:PORT FR_CA=ca.pem FR_KEY_FILE=key java Search GALLERY SUBJECT ENROL.jpg PROBE.jpg
 *
 * <p>Without FR_CA and FR_KEY_FILE, it calls a server on this machine that asks for no key.
 */
public final class Search {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  public static void main(String[] args) {
    if (args.length != 4) {
      System.err.println("Usage: Search GALLERY SUBJECT ENROL.jpg PROBE.jpg");
      System.exit(2);
    }
    try {
      run(args);
    } catch (StatusRuntimeException error) {
      System.err.println(reasonOf(error) + ": " + error.getStatus().getDescription());
      System.exit(1);
    } catch (IOException error) { // of a file
      System.err.println(error);
      System.exit(1);
    }
  }

  private static void run(String[] args) throws IOException {
    String server = System.getenv().getOrDefault("FR_SERVER", "localhost:50061");
    String ca = System.getenv("FR_CA");
    String key = ca == null ? null : key();
    ManagedChannel channel =
        Grpc.newChannelBuilder(
                server,
                ca == null
                    ? InsecureChannelCredentials.create()
                    : TlsChannelCredentials.newBuilder().trustManager(new File(ca)).build())
            .build();
    try {
      GalleryServiceGrpc.GalleryServiceBlockingStub client = GalleryServiceGrpc.newBlockingStub(channel);
      if (key != null) {
        client = client.withCallCredentials(new Bearer(key));
      }
      search(client, args[0], args[1], args[2], args[3]);
    } finally {
      channel.shutdownNow();
    }
  }

  private static String key() throws IOException {
    String key = Files.readString(Path.of(System.getenv().getOrDefault("FR_KEY_FILE", "key"))).trim();
    if (!key.matches("[!-~]+")) {
      throw new IOException("The file of FR_KEY_FILE holds no key: one line, without spaces.");
    }
    return key;
  }

  private static void search(
      GalleryServiceGrpc.GalleryServiceBlockingStub client,
      String gallery,
      String subject,
      String enrolled,
      String probe)
      throws IOException {
    EnrolRequest face =
        EnrolRequest.newBuilder()
            .setGalleryId(gallery)
            .setSubjectId(subject)
            .setFace(photo(enrolled))
            .build();
    try {
      client.withDeadlineAfter(60, TimeUnit.SECONDS).enrol(face);
    } catch (StatusRuntimeException error) {
      if (!reasonOf(error).equals("DUPLICATE_IMAGE")) {
        throw error;
      }
      System.out.println("already enrolled");
    }
    SearchResponse answer =
        client
            .withDeadlineAfter(60, TimeUnit.SECONDS)
            .search(
                SearchRequest.newBuilder()
                    .setGalleryId(gallery)
                    .setProbe(photo(probe))
                    .setTopK(5)
                    .setPurpose(Purpose.PURPOSE_TESTING)
                    .setCaseReference("first try")
                    .build());
    for (Candidate one : answer.getResults(0).getCandidatesList()) {
      System.out.printf(
          "%d  %s  %.4f  %s%n",
          one.getRank(),
          one.getSubjectId(),
          one.getSimilarity(),
          one.getAboveThreshold() ? "lead" : "below threshold");
    }
    System.out.println(answer.getNotice());
  }

  private static Probe photo(String path) throws IOException {
    ByteString data = ByteString.copyFrom(Files.readAllBytes(Path.of(path)));
    return Probe.newBuilder().setImage(Image.newBuilder().setData(data)).build();
  }

  /** Returns the stable reason of an error, or the status where the server gave none. */
  private static String reasonOf(StatusRuntimeException error) {
    byte[] details = error.getTrailers() == null ? null : error.getTrailers().get(DETAILS);
    try {
      for (Any detail : Status.parseFrom(details == null ? new byte[0] : details).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          return detail.unpack(ErrorInfo.class).getReason();
        }
      }
    } catch (InvalidProtocolBufferException foreign) {
      // A proxy's, not the server's.
    }
    return error.getStatus().getCode().name();
  }

  /** Sends a key with each call. */
  private static final class Bearer extends CallCredentials {
    private final String key;

    Bearer(String key) {
      this.key = key;
    }

    @Override
    public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + key);
      applier.apply(headers);
    }

    /** Older releases of gRPC require this method. */
    public void thisUsesUnstableApi() {}
  }
}
